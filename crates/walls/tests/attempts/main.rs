//! Tries at the walls from within: each test starts this very program again as a process that raises them, or leaves them down
//! to show that the attempt would succeed, and then does what must or must not work.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, failing here is the test failing")]

mod files;
mod inside;
mod memory;
mod network;
mod privileges;
mod processes;
mod room;
mod work;

use std::panic::catch_unwind;
use std::process::ExitCode;

type Test = (&'static str, fn());

macro_rules! tests {
    ($($module:ident::$name:ident)*) => { &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name)),*] };
}

const TESTS: &[Test] = tests![
    files::t05_files_outside_cannot_be_reached
    files::without_landlock_it_is_an_error_or_a_line_in_the_report
    files::a_path_that_is_not_there_is_named
    network::t05_no_connection_leaves
    network::t05_seccomp_alone_stops_the_connection
    network::t05_sockets_that_are_open_are_found
    processes::t05_no_other_program_and_no_other_process
    processes::t05_attacks_on_the_kernels_doors_end_the_process
    processes::t05_an_abort_leaves_no_core
    processes::walls_need_a_process_of_one_thread
    memory::t05_nobody_of_the_same_user_reads_the_memory
    memory::memory_is_locked_or_the_error_says_how
    memory::memory_that_may_swap_stands_in_the_report
    memory::a_small_limit_is_a_named_error
    memory::stacks_do_not_fill_memory
    memory::t05_the_stack_is_scrubbed
    privileges::t05_root_is_gone_for_good
    privileges::users_that_will_not_do_are_named
    privileges::another_user_works_behind_walls
    work::what_a_signer_does_still_works
];

/// The part of the standard harness that is needed: names that contain the given words, `--exact`, `--list`.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "inside") {
        return inside::run(arguments.get(1..).unwrap_or_default());
    }
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| {
        let fits = |word: &&String| if flag("--exact") { name == word.as_str() } else { name.contains(word.as_str()) };
        words.is_empty() || words.iter().any(fits)
    };
    let mut failed = Vec::new();
    let chosen: Vec<&Test> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    for (name, test) in &chosen {
        if flag("--list") {
            println!("{name}: test");
            continue;
        }
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    println!("\ntest result: {} of {} failed {failed:?}\n", failed.len(), chosen.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
