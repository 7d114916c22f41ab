//! A disk that can be told to fail. It writes to real files, so that the real reader sees what a disk would hold.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::audit::disk::{Disk, DiskFile, RealDisk};

/// What the disk is told.
#[derive(Debug, Default)]
pub(super) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that still fit; `None`: any number.
    space: Option<u64>,
    /// How many syncs fail from now on.
    failing_syncs: u32,
    /// Syncs wait.
    held: bool,
    /// Nothing works any more.
    dead: bool,
    /// How many syncs were begun,
    begun: u64,
    /// and succeeded.
    done: u64,
    /// How far each file is on disk for certain.
    synced: HashMap<PathBuf, u64>,
}

impl Control {
    pub(super) fn set_space(&self, space: Option<u64>) {
        self.lock().space = space;
    }

    pub(super) fn fail_syncs(&self, count: u32) {
        self.lock().failing_syncs = count;
    }

    pub(super) fn hold_syncs(&self) {
        self.lock().held = true;
    }

    pub(super) fn release_syncs(&self) {
        self.lock().held = false;
        self.changed.notify_all();
    }

    pub(super) fn syncs(&self) -> u64 {
        self.lock().done
    }

    /// Blocks until the sync of this number, from 1, has begun.
    pub(super) fn wait_for_sync(&self, number: u64) {
        let mut state = self.lock();
        while state.begun < number {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// The machine stops: from each file, what was not synced is lost but for its first `kept` bytes.
    pub(super) fn crash(&self, kept: u64) {
        let mut state = self.lock();
        state.dead = true;
        for (path, length) in &state.synced {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            let written = file.metadata().unwrap().len();
            file.set_len(written.min(length + kept)).unwrap();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The machine starts again.
    pub(super) fn revive(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

pub(super) struct TestDisk(pub(super) Arc<Control>);

struct TestFile {
    file: File,
    path: PathBuf,
    control: Arc<Control>,
}

impl TestDisk {
    fn wrap(&self, path: &Path, file: File) -> io::Result<Box<dyn DiskFile>> {
        let length = file.length()?;
        let mut state = self.0.lock();
        if state.dead {
            return Err(io::Error::other("dead"));
        }
        state.synced.entry(path.to_owned()).or_insert(length);
        Ok(Box::new(TestFile {
            file,
            path: path.to_owned(),
            control: Arc::clone(&self.0),
        }))
    }
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(path, crate::audit::disk::create(path)?)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        drop(RealDisk.open(path)?);
        self.wrap(path, OpenOptions::new().read(true).write(true).open(path)?)
    }
}

impl TestFile {
    fn is_head(&self) -> bool {
        self.path.extension().is_some_and(|it| it == "json")
    }
}

impl DiskFile for TestFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.control.lock();
        if state.dead {
            return Err(io::Error::other("dead"));
        }
        if self.is_head() {
            return self.file.write_at(bytes, offset);
        }
        let Some(space) = &mut state.space else {
            return self.file.write_at(bytes, offset);
        };
        let fits = bytes.len().min(usize::try_from(*space).unwrap());
        *space -= fits as u64;
        self.file.write_at(&bytes[..fits], offset)?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.control.lock();
        if self.is_head() {
            return Ok(());
        }
        state.begun += 1;
        self.control.changed.notify_all();
        while state.held && !state.dead {
            state = self.control.changed.wait(state).unwrap();
        }
        if state.dead {
            return Err(io::Error::other("dead"));
        }
        let length = self.file.length()?;
        let synced = state.synced.get(&self.path).copied().unwrap_or(0);
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            // The pages that could not be written are lost; the file keeps its length.
            let lost = vec![0; usize::try_from(length.saturating_sub(synced)).unwrap()];
            self.file.write_at(&lost, synced)?;
            return Err(io::Error::other("input/output error"));
        }
        state.synced.insert(self.path.clone(), length);
        state.done += 1;
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.control.lock();
        if state.dead {
            return Err(io::Error::other("dead"));
        }
        let synced = state.synced.entry(self.path.clone()).or_default();
        *synced = length.min(*synced);
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }
}
