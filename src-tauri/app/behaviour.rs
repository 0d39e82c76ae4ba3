//! How the window behaves on this computer. Kept beside the node's own files, because it belongs to no network and
//! to no identity.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

/// What is remembered between starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Remembered {
    version: u8,
    close_hides: bool,
    close_said: bool,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { version: 1, close_hides: true, close_said: false }
    }
}

/// What closing the window means this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// Say what will happen, and let the person choose.
    Ask,
    /// Hide the window; the node goes on.
    Hide,
    /// End the app.
    Quit,
}

/// The window's behaviour, saved at each change. A file that cannot be read counts as none.
pub(crate) struct Behaviour {
    file: PathBuf,
    remembered: Mutex<Remembered>,
}

impl Behaviour {
    pub(crate) fn load(home: &Path) -> Self {
        let file = home.join("window.json");
        let read = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { file, remembered: Mutex::new(read.unwrap_or_default()) }
    }

    /// Whether closing the window leaves the node running.
    pub(crate) fn close_hides(&self) -> bool {
        self.lock().close_hides
    }

    /// # Errors
    /// If the choice cannot be saved.
    pub(crate) fn set_close_hides(&self, hides: bool) -> io::Result<()> {
        self.change(|remembered| remembered.close_hides = hides)
    }

    /// Says what closing means now; it asks only the first time.
    pub(crate) fn close(&self) -> Close {
        let Remembered { close_hides, close_said, .. } = self.lock().clone();
        match (close_hides, close_said) {
            (false, _) => Close::Quit,
            (true, true) => Close::Hide,
            (true, false) => {
                let saved = self.change(|remembered| remembered.close_said = true);
                saved.unwrap_or_else(|error| tracing::warn!(%error, "the window's behaviour was not saved"));
                Close::Ask
            }
        }
    }

    fn change(&self, edit: impl FnOnce(&mut Remembered)) -> io::Result<()> {
        let mut remembered = self.lock();
        edit(&mut remembered);
        fs::write(&self.file, serde_json::to_vec_pretty(&*remembered)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_is_explained_once_and_then_hides_even_after_a_restart() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let behaviour = Behaviour::load(home.path());
        assert_eq!(behaviour.close(), Close::Ask);
        assert_eq!(behaviour.close(), Close::Hide);
        assert_eq!(Behaviour::load(home.path()).close(), Close::Hide);
    }

    #[test]
    fn closing_quits_when_the_person_wants_that() {
        let home = tempfile::tempdir().expect("a temporary folder");
        Behaviour::load(home.path()).set_close_hides(false).expect("it can be saved");
        assert_eq!(Behaviour::load(home.path()).close(), Close::Quit);
    }

    #[test]
    fn a_broken_file_counts_as_none() {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::write(home.path().join("window.json"), "{").expect("it can be written");
        assert!(Behaviour::load(home.path()).close_hides());
    }
}
