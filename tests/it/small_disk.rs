//! A file system that is full after 4 MiB. Only root can mount one: without, tests that need it say that they did not run, but for
//! `scripts/test` as root, which sets `PORTCULLIS_TEST_MOUNT` so that they must.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system, unmounted when it goes.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// A fresh one; nothing where this process may not mount.
    #[expect(
        clippy::print_stderr,
        reason = "a test that did not run must not look as if it had"
    )]
    pub(crate) fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs"])
            .arg(folder.path())
            .output()
            .unwrap();
        if mounted.status.success() {
            return Some(Self { folder });
        }
        let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
        assert!(
            std::env::var_os("PORTCULLIS_TEST_MOUNT").is_none(),
            "no file system can be mounted: {why}"
        );
        eprintln!("NOT RUN: no file system can be mounted: {why}");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves not one free block.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let block = [0_u8; 4096];
        loop {
            match filler.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open there loses nothing by it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
