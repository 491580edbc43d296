//! Memory, threads, files and log of the host. Panics of theirs end at the border to C.
use std::alloc::Layout;
use std::ffi::c_void;
use std::io;
use std::os::raw::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::{ptr, slice};

use crate::error::sized;
use crate::ffi;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub ffi::junto_tag);

/// Where all memory comes from.
///
/// # Safety
/// `allocate` returns null or memory that nobody else uses until it is given back.
pub unsafe trait Allocator: Send + Sync {
    /// Null refuses.
    fn allocate(&self, layout: Layout, tag: Tag) -> *mut u8;
    /// # Safety
    /// `memory` came from `allocate` with the same layout and tag.
    unsafe fn deallocate(&self, memory: *mut u8, layout: Layout, tag: Tag);
}

/// Where all work is done.
///
/// # Safety
/// `run` runs every task of `0..tasks.count()` once, each on a worker number below
/// `worker_count()` that no other thread uses meanwhile, and returns after the last.
pub unsafe trait Executor: Send + Sync {
    fn worker_count(&self) -> u32;
    fn run(&self, tasks: &Tasks);
}

/// A loop of independent tasks, which never block, allocate or nest.
pub struct Tasks {
    count: u32,
    function: unsafe extern "C" fn(*mut c_void, u32, u32),
    task: *mut c_void,
}

unsafe impl Sync for Tasks {}

impl Tasks {
    pub fn count(&self) -> u32 {
        self.count
    }

    /// # Safety
    /// See [`Executor`].
    pub unsafe fn run(&self, index: u32, worker: u32) {
        (self.function)(self.task, index, worker)
    }
}

/// Where models are read from; names are whatever [`Runtime::load`] was given.
///
/// [`Runtime::load`]: crate::Runtime::load
pub trait Files: Send + Sync {
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;
}

/// A file that is open, for all threads at once. It is dropped when the model has no more use for it.
pub trait File: Send + Sync {
    fn size(&self) -> u64;
    /// All of `dst`, or an error.
    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Hears a level, one of `ffi::JUNTO_LOG_*`, and a line, on any thread. Must not call Junto.
pub type Log = Box<dyn Fn(ffi::junto_log_level, &str) + Send + Sync>;

/// What a runtime's callbacks use, at addresses that stay. All handles under it hold it.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) allocator: Option<Box<dyn Allocator>>,
    pub(crate) executor: Option<Box<dyn Executor>>,
    pub(crate) files: Option<Box<dyn Files>>,
    pub(crate) log: Option<Log>,
}

impl Services {
    pub(crate) fn allocator(&self) -> Option<ffi::junto_allocator> {
        let allocator = self.allocator.as_ref()?;
        let mut callbacks: ffi::junto_allocator = sized();
        callbacks.user = allocator as *const Box<dyn Allocator> as *mut c_void;
        callbacks.allocate = Some(allocate);
        callbacks.deallocate = Some(deallocate);
        Some(callbacks)
    }

    pub(crate) fn executor(&self) -> Option<ffi::junto_executor> {
        let executor = self.executor.as_ref()?;
        let mut callbacks: ffi::junto_executor = sized();
        callbacks.user = executor as *const Box<dyn Executor> as *mut c_void;
        callbacks.worker_count = executor.worker_count();
        callbacks.parallel_for = Some(parallel_for);
        Some(callbacks)
    }

    pub(crate) fn io(&self) -> Option<ffi::junto_io> {
        let files = self.files.as_ref()?;
        let mut callbacks: ffi::junto_io = sized();
        callbacks.user = files as *const Box<dyn Files> as *mut c_void;
        callbacks.open_file = Some(open_file);
        callbacks.read_at = Some(read_at);
        callbacks.close_file = Some(close_file);
        Some(callbacks)
    }
}

unsafe extern "C" fn open_file(
    user: *mut c_void,
    name: *const c_char,
    name_size: usize,
    file: *mut *mut c_void,
    size: *mut u64,
) -> ffi::junto_status {
    let files = &*(user as *const Box<dyn Files>);
    let name = String::from_utf8_lossy(slice::from_raw_parts(name.cast(), name_size));
    match catch_unwind(AssertUnwindSafe(|| files.open(&name).map(|opened| (opened.size(), opened)))) {
        Ok(Ok((bytes, opened))) => {
            *size = bytes;
            *file = Box::into_raw(Box::new(opened)).cast();
            ffi::JUNTO_OK
        }
        _ => ffi::JUNTO_E_IO,
    }
}

unsafe extern "C" fn read_at(
    _user: *mut c_void,
    file: *mut c_void,
    offset: u64,
    dst: *mut c_void,
    size: usize,
) -> ffi::junto_status {
    let file = &*(file as *const Box<dyn File>);
    let dst = slice::from_raw_parts_mut(dst.cast(), size);
    match catch_unwind(AssertUnwindSafe(|| file.read_at(dst, offset))) {
        Ok(Ok(())) => ffi::JUNTO_OK,
        _ => ffi::JUNTO_E_IO,
    }
}

unsafe extern "C" fn close_file(_user: *mut c_void, file: *mut c_void) {
    let file = Box::from_raw(file as *mut Box<dyn File>);
    let _ = catch_unwind(AssertUnwindSafe(|| drop(file)));
}

pub(crate) unsafe extern "C" fn log(
    user: *mut c_void,
    level: ffi::junto_log_level,
    text: *const c_char,
    size: usize,
) {
    let log = &*(user as *const Log);
    let text = String::from_utf8_lossy(slice::from_raw_parts(text.cast(), size));
    let _ = catch_unwind(AssertUnwindSafe(|| log(level, &text)));
}

unsafe extern "C" fn allocate(
    user: *mut c_void,
    size: usize,
    alignment: usize,
    tag: ffi::junto_tag,
) -> *mut c_void {
    let allocator = &*(user as *const Box<dyn Allocator>);
    let layout = match Layout::from_size_align(size, alignment) {
        Ok(layout) => layout,
        Err(_) => return ptr::null_mut(),
    };
    catch_unwind(AssertUnwindSafe(|| allocator.allocate(layout, Tag(tag))))
        .unwrap_or(ptr::null_mut())
        .cast()
}

unsafe extern "C" fn deallocate(
    user: *mut c_void,
    memory: *mut c_void,
    size: usize,
    alignment: usize,
    tag: ffi::junto_tag,
) {
    let allocator = &*(user as *const Box<dyn Allocator>);
    let layout = Layout::from_size_align_unchecked(size, alignment); // as it was when allocated
    let _ = catch_unwind(AssertUnwindSafe(|| allocator.deallocate(memory.cast(), layout, Tag(tag))));
}

unsafe extern "C" fn parallel_for(
    user: *mut c_void,
    count: u32,
    function: ffi::junto_task_fn,
    task: *mut c_void,
) -> ffi::junto_status {
    let executor = &*(user as *const Box<dyn Executor>);
    let function = match function {
        Some(function) => function,
        None => return ffi::JUNTO_E_INVALID,
    };
    let tasks = Tasks { count, function, task };
    match catch_unwind(AssertUnwindSafe(|| executor.run(&tasks))) {
        Ok(()) => ffi::JUNTO_OK,
        Err(_) => ffi::JUNTO_E_CALLBACK,
    }
}
