//! The online system as a process: pipelines and both interfaces, until a signal ends them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::Outcome;
use crate::api;
use crate::config::Config;
use crate::custody::{Custody, Pipeline, pipelines, supervise};

/// A running system.
pub struct Service {
    /// Where customers' requests are answered.
    pub customers: SocketAddr,
    /// Where operators' requests are answered.
    pub operators: SocketAddr,
    custody: Arc<Custody>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<Outcome>>,
}

impl Service {
    /// Opens everything and begins to work.
    pub async fn start(config: Config) -> Outcome<Service> {
        Service::start_with(config, pipelines()).await
    }

    /// The same, driven by these pipelines.
    pub async fn start_with(config: Config, pipelines: Vec<Pipeline>) -> Outcome<Service> {
        let (customer_listen, operator_listen) = (config.customer_listen, config.operator_listen);
        let custody = Arc::new(Custody::open(config).await?);
        let (customer_listener, customers) = api::bind(customer_listen).await?;
        let (operator_listener, operators) = api::bind(operator_listen).await?;
        let (stop, stopped) = watch::channel(false);
        listen_for_blocks(&custody);
        let mut tasks = vec![
            tokio::spawn(api::serve_customers(customer_listener, Arc::clone(&custody), stopped.clone())),
            tokio::spawn(api::serve_operators(operator_listener, Arc::clone(&custody), stopped.clone())),
        ];
        for pipeline in pipelines {
            let supervised = supervise(pipeline, Arc::clone(&custody), stopped.clone());
            tasks.push(tokio::spawn(async {
                supervised.await;
                Ok(())
            }));
        }
        Ok(Service { customers, operators, custody, stop, tasks })
    }

    /// Finishes what is being done, and ends.
    pub async fn end(self) -> Outcome {
        self.custody.end();
        let _ = self.stop.send(true);
        for task in self.tasks {
            task.await.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

/// Wakes the pipelines when the node says that there is a new block (long polling). A hint only: the pipelines look by themselves as
/// well, and believe what they then find.
fn listen_for_blocks(custody: &Arc<Custody>) {
    let custody = Arc::downgrade(custody);
    // A thread of its own, because the call waits; it ends with the system, a moment later.
    std::thread::spawn(move || {
        while let Some(node) = custody.upgrade().map(|custody| custody.node().clone()) {
            match node.wait_for_block(HINT) {
                Ok(()) => drop(custody.upgrade().map(|custody| custody.wake())),
                Err(_) => std::thread::park_timeout(HINT),
            }
        }
    });
}

/// How long one call waits for a block.
const HINT: Duration = Duration::from_secs(2);

/// A runtime for what waits.
pub fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())
}

/// Runs until interrupted or terminated; begins anew when another charter was adopted.
pub fn run(path: &Path) -> Outcome {
    runtime()?.block_on(async {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|error| error.to_string())?;
        let mut service = Service::start(Config::read(path)?).await?;
        println!("customers {}", service.customers);
        println!("operators {}", service.operators);
        loop {
            let (customers, operators) = (service.customers, service.operators);
            let again = tokio::select! {
                _ = terminated.recv() => false,
                _ = tokio::signal::ctrl_c() => false,
                () = service.custody.reloading() => true,
            };
            service.end().await?;
            if !again {
                return Ok(());
            }
            // On the same ports, also where the configuration left them open.
            let config = Config { customer_listen: customers, operator_listen: operators, ..Config::read(path)? };
            service = Service::start(config).await?;
        }
    })
}
