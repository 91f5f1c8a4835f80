//! A node that lies: what a real one answers, changed on its way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What comes back instead of an answer.
pub enum Lie {
    /// These bytes.
    Say(Vec<u8>),
    /// Nothing, for as long as the asker waits.
    Silence,
}

/// Stands before the node at `url` (`http://HOST:PORT`) and tells lies: `lie` sees each question (first line and body) and what the real
/// node answers to it. Where it is.
pub fn stand_before(url: &str, lie: impl Fn(&str, Vec<u8>) -> Lie + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let node = url.trim_start_matches("http://").to_owned();
    let lie = Arc::new(lie);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (node, lie) = (node.clone(), Arc::clone(&lie));
            // A broken connection is the asker's to try again.
            std::thread::spawn(move || relay(stream, &node, &*lie));
        }
    });
    here
}

fn relay(mut asker: TcpStream, node: &str, lie: &dyn Fn(&str, Vec<u8>) -> Lie) -> std::io::Result<()> {
    let (head, body) = message(&asker)?;
    let first = head.first().cloned().unwrap_or_default();
    let mut real = TcpStream::connect(node)?;
    let kept = head.iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut question: String = kept.map(|line| format!("{line}\r\n")).collect();
    question.push_str("Connection: close\r\n\r\n");
    real.write_all(question.as_bytes())?;
    real.write_all(&body)?;
    let (answered, truth) = message(&real)?;
    let status = answered.first().cloned().unwrap_or_default();
    match lie(&format!("{first}\n{}", String::from_utf8_lossy(&body)), truth) {
        Lie::Say(bytes) => {
            asker.write_all(
                format!("{status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len()).as_bytes(),
            )?;
            asker.write_all(&bytes)
        }
        // Until the asker hangs up.
        Lie::Silence => asker.read(&mut [0]).map(|_| ()),
    }
}

/// The lines of a head, and the body that it announces.
fn message(stream: &TcpStream) -> std::io::Result<(Vec<String>, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
        head.push(line.to_owned());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}
