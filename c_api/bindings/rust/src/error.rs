use std::ffi::{c_void, CStr};
use std::{fmt, mem, ptr};

use crate::ffi;

/// What a call failed with.
#[derive(Clone, Debug)]
pub struct Error {
    /// One of `ffi::JUNTO_E_*`.
    pub status: ffi::junto_status,
    /// errno of a failed file operation, else 0.
    pub os_error: i32,
    /// One line that states a fact and a number.
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn of(status: ffi::junto_status) -> Error {
        let name = unsafe { CStr::from_ptr(ffi::junto_status_name(status)) };
        Error { status, os_error: 0, message: name.to_string_lossy().into_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A struct of `junto.h`, all of whose fields may be zero, with its `struct_size`.
pub(crate) fn sized<T: Copy>() -> T {
    let mut value = mem::MaybeUninit::<T>::zeroed();
    // Every growable struct begins with its size.
    unsafe { value.as_mut_ptr().cast::<u32>().write(mem::size_of::<T>() as u32) };
    unsafe { value.assume_init() }
}

/// Calls a function that takes an error last; its status, if that is no failure.
pub(crate) fn call(
    function: impl FnOnce(*mut ffi::junto_error) -> ffi::junto_status,
) -> Result<ffi::junto_status> {
    let mut error: ffi::junto_error = sized();
    let status = function(&mut error);
    if status >= 0 {
        return Ok(status);
    }
    let message = unsafe { CStr::from_ptr(error.message.as_ptr()) };
    let message = message.to_string_lossy().into_owned();
    Err(Error { status, os_error: error.os_error, message })
}

/// The same for a function that makes a handle.
pub(crate) fn create<T>(
    function: impl FnOnce(*mut *mut T, *mut ffi::junto_error) -> ffi::junto_status,
) -> Result<*mut T> {
    let mut handle = ptr::null_mut();
    call(|error| function(&mut handle, error))?;
    Ok(handle)
}

/// The bytes that a function writes which tells their number when the destination is null.
pub(crate) fn bytes(
    mut function: impl FnMut(*mut c_void, usize, *mut usize, *mut ffi::junto_error) -> ffi::junto_status,
) -> Result<Vec<u8>> {
    let mut size = 0;
    call(|error| function(ptr::null_mut(), 0, &mut size, error))?;
    let mut bytes = vec![0u8; size];
    call(|error| function(bytes.as_mut_ptr().cast(), bytes.len(), &mut size, error))?;
    bytes.truncate(size);
    Ok(bytes)
}
