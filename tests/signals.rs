//! Killing, pausing and going on with processes that others may have started.
//!
//! What a system does not know is refused by name: Windows, say, pauses none.

use anyhow::{Context, Result, ensure};
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, Signal, System};

/// Kills a process so that it can do nothing about it, and returns once it holds nothing any more: whoever started it may not
/// have noticed yet. Elsewhere than on Linux whoever started it has noticed, too.
///
/// # Errors
/// If there is no such process.
pub fn kill_9(pid: u32) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            event::{PollFd, PollFlags, poll},
            process::{PidfdFlags, pidfd_open},
        };
        let process = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("process 0 is nobody's")?;
        let process = pidfd_open(process, PidfdFlags::empty())?;
        send(pid, Signal::Kill)?;
        poll(&mut [PollFd::new(&process, PollFlags::IN)], None)?;
    }
    #[cfg(not(target_os = "linux"))]
    with(pid, |process| {
        process.kill_and_wait()?;
        Ok(())
    })?;
    Ok(())
}

/// Asks a process to end, as the system does at shutdown.
///
/// # Errors
/// If there is no such process.
pub fn terminate(pid: u32) -> Result<()> {
    send(pid, Signal::Term)
}

/// Stops a process in its tracks: it does nothing, and its system answers nobody in its place.
///
/// # Errors
/// If there is no such process.
pub fn pause(pid: u32) -> Result<()> {
    send(pid, Signal::Stop)
}

/// Lets a paused process go on.
///
/// # Errors
/// If there is no such process.
pub fn go_on(pid: u32) -> Result<()> {
    send(pid, Signal::Continue)
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    with(pid, |process| {
        let sent = process.kill_with(signal).with_context(|| format!("this system knows no {signal}"))?;
        ensure!(sent, "process {pid} takes no {signal}");
        Ok(())
    })
}

fn with(pid: u32, does: impl FnOnce(&Process) -> Result<()>) -> Result<()> {
    let (mut system, number) = (System::new(), Pid::from_u32(pid));
    let found = ProcessesToUpdate::Some(&[number]);
    system.refresh_processes_specifics(found, true, ProcessRefreshKind::nothing());
    does(system.process(number).with_context(|| format!("there is no process {pid}"))?)
}
