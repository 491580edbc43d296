use std::ffi::c_void;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use crate::error::{create, sized};
use crate::host::{log, Services};
use crate::{ffi, Allocator, Error, Executor, Files, Log, Model, Result, Tag};

/// How a runtime is made. What is absent is Junto's own.
#[derive(Default)]
pub struct Options {
    pub allocator: Option<Box<dyn Allocator>>,
    pub executor: Option<Box<dyn Executor>>,
    pub files: Option<Box<dyn Files>>,
    pub log: Option<Log>,
    /// What `log` hears: this of `ffi::JUNTO_LOG_*` and what is graver.
    pub log_level: ffi::junto_log_level,
    /// Of Junto's own threads, the caller included; 0 = one per core.
    pub max_threads: u32,
    /// Bytes over all tags; 0 = none.
    pub memory_limit: u64,
    /// Nothing is taken behind the allocator; needs an executor, or `max_threads` 1.
    pub strict_memory: bool,
}

/// The services of the host.
pub struct Runtime {
    raw: *mut ffi::junto_runtime,
    services: Arc<Services>, // dropped after the reference to raw
}

unsafe impl Send for Runtime {}
unsafe impl Sync for Runtime {}

impl Runtime {
    /// With aligned malloc, a thread per core, and the system's files.
    pub fn new() -> Result<Runtime> {
        Runtime::with(Options::default())
    }

    pub fn with(options: Options) -> Result<Runtime> {
        let mut desc: ffi::junto_runtime_desc = sized();
        desc.max_threads = options.max_threads;
        desc.memory_limit = options.memory_limit;
        if options.strict_memory {
            desc.flags |= ffi::JUNTO_RUNTIME_STRICT_MEMORY;
        }
        let services = Arc::new(Services {
            allocator: options.allocator,
            executor: options.executor,
            files: options.files,
            log: options.log,
        });
        let allocator = services.allocator();
        let executor = services.executor();
        let io = services.io();
        desc.allocator = allocator.as_ref().map_or(ptr::null(), |callbacks| callbacks);
        desc.executor = executor.as_ref().map_or(ptr::null(), |callbacks| callbacks);
        desc.io = io.as_ref().map_or(ptr::null(), |callbacks| callbacks);
        if let Some(user) = &services.log {
            desc.log = Some(log);
            desc.log_user = user as *const Log as *mut c_void;
            desc.log_level = options.log_level;
        }
        let raw = create(|out, error| unsafe { ffi::junto_runtime_create(&desc, out, error) })?;
        Ok(Runtime { raw, services })
    }

    /// Loads a GGUF or packed file.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Model> {
        let name = path.as_ref().as_os_str().as_bytes();
        let raw = create(|out, error| unsafe {
            let desc = ptr::null();
            ffi::junto_model_load(self.raw, name.as_ptr().cast(), name.len(), desc, out, error)
        })?;
        Ok(Model { raw, services: self.services.clone() })
    }

    /// Bytes in use and the most ever in use under a tag, or of all tags.
    pub fn memory(&self, tag: Option<Tag>) -> Result<(u64, u64)> {
        let tag = tag.map_or(ffi::JUNTO_TAG_INVALID, |tag| tag.0);
        let (mut current, mut peak) = (0, 0);
        match unsafe { ffi::junto_runtime_memory(self.raw, tag, &mut current, &mut peak) } {
            status if status < 0 => Err(Error::of(status)),
            _ => Ok((current, peak)),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        unsafe { ffi::junto_runtime_release(self.raw) }
    }
}
