//! The server of one way, in a process of its own: this program, started by itself with hidden options.
//!
//! It answers each line on standard input with a line of JSON on standard output: its [`Usage`]. When standard input is
//! closed, as it is when whoever started it ends for whatever reason, it removes its sockets and ends.

use std::{
    fs,
    io::{self, BufRead, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
};

use anyhow::Context;
use sysbox::{
    AbsPath, FsPort, MgrPort, grpc, tarpc,
    transport::{Listener, ServerOptions},
};
use tokio_util::sync::CancellationToken;

use super::{Model, Way, counted::Counted, new_model, ping, usage::Usage};

/// The names of the sockets of a server: of the manager, of the fs daemon, and of both where what goes over is counted. Short, for
/// the path of a socket is.
pub(crate) mod sockets {
    pub(crate) const MGR: &str = "mgr";
    pub(crate) const FS: &str = "fs";
    pub(crate) const COUNTED_MGR: &str = "mgr-n";
    pub(crate) const COUNTED_FS: &str = "fs-n";
}

/// Serves until standard input is closed.
pub(crate) fn run(way: Way, dir: &Path) -> anyhow::Result<ExitCode> {
    let dir = AbsPath::new(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (counted, stop) = (Counted::default(), CancellationToken::new());
    let served = runtime.block_on(async {
        let serving = serve(way, &dir, &counted)?;
        let (counted, stopped) = (counted.clone(), stop.clone());
        thread::spawn(move || {
            if let Err(error) = answer(&counted) {
                tracing::debug!(%error, "nobody asks any more");
            }
            stopped.cancel();
        });
        tokio::select! {
            served = serving => served,
            // Nobody is there whose calls could be carried out.
            () = stop.cancelled() => Ok(()),
        }
    });
    // The sockets are gone; what is not empty is another's, and the error tells so.
    let _ = fs::remove_dir(&dir);
    served.map(|()| ExitCode::SUCCESS)
}

/// Answers until nobody asks any more. The first answer, unasked, says that the sockets are there.
fn answer(counted: &Counted) -> io::Result<()> {
    let (mut questions, mut answers) = (io::stdin().lock(), io::stdout().lock());
    let mut question = String::new();
    loop {
        let mut usage = Usage::of_this_process();
        (usage.received_bytes, usage.sent_bytes) = (counted.received(), counted.sent());
        serde_json::to_writer(&mut answers, &usage)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
        question.clear();
        if questions.read_line(&mut question)? == 0 {
            return Ok(());
        }
    }
}

/// Binds the sockets of a way; what is given serves them until one cannot be served any more.
fn serve(
    way: Way,
    dir: &AbsPath,
    counted: &Counted,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let explain = || format!("cannot serve {}; TMPDIR names the directory above its sockets", way.name());
    let bind = |name| Listener::bind(dir, name).with_context(explain);
    let listeners = (bind(sockets::MGR)?, bind(sockets::FS)?);
    let before = [(bind(sockets::COUNTED_MGR)?, &listeners.0), (bind(sockets::COUNTED_FS)?, &listeners.1)];
    let [mgr_counted, fs_counted] =
        before.map(|(before, counts)| counted.clone().pass_on(before, counts.path().clone()));
    let serving = of_way(way, new_model()?, listeners);
    Ok(async {
        tokio::select! {
            served = serving => served,
            passed_on = mgr_counted => Ok(passed_on?),
            passed_on = fs_counted => Ok(passed_on?),
        }
    })
}

async fn of_way(way: Way, model: Arc<Model>, (mgr, fs): (Listener, Listener)) -> anyhow::Result<()> {
    let (mgr_port, fs_port): (Arc<dyn MgrPort>, Arc<dyn FsPort>) = (model.clone(), model);
    let (options, never) = (ServerOptions::default(), CancellationToken::new());
    match way {
        Way::InProcess | Way::PingPong => {
            tokio::try_join!(ping::serve(mgr), ping::serve(fs))?;
        }
        Way::Tarpc => {
            tokio::try_join!(
                tarpc::serve_mgr(mgr_port, mgr, &options, never.clone()),
                tarpc::serve_fs(Some(fs_port), fs, &options, never.clone()),
            )?;
        }
        Way::Grpc | Way::GrpcPerCall => {
            tokio::try_join!(
                grpc::serve_mgr(mgr_port, mgr, &options, never.clone()),
                grpc::serve_fs(Some(fs_port), fs, &options, never.clone()),
            )?;
        }
    }
    Ok(())
}
