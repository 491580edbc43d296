//! Writes the raw bindings with the bindgen program, and says where the library is: what pkg-config
//! knows, or what JUNTO_INCLUDE_DIR and JUNTO_LIB_DIR say instead.
use std::env;
use std::path::PathBuf;
use std::process::Command;

fn pkg_config(what: &str) -> Option<PathBuf> {
    let output = Command::new("pkg-config").args([what, "junto"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let path = text.trim();
    (output.status.success() && !path.is_empty()).then(|| path.into())
}

fn directory(variable: &str, of_pkg_config: &str) -> Option<PathBuf> {
    println!("cargo:rerun-if-env-changed={variable}");
    env::var_os(variable).map(PathBuf::from).or_else(|| pkg_config(of_pkg_config))
}

fn main() {
    let in_tree = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let header = directory("JUNTO_INCLUDE_DIR", "--variable=includedir")
        .unwrap_or(in_tree)
        .join("junto.h");
    let bindings = PathBuf::from(env::var_os("OUT_DIR").unwrap()).join("ffi.rs");
    println!("cargo:rerun-if-env-changed=BINDGEN");
    println!("cargo:rerun-if-changed={}", header.display());
    let status = Command::new(env::var_os("BINDGEN").unwrap_or_else(|| "bindgen".into()))
        .arg(&header)
        .args(["--no-prepend-enum-name", "--default-enum-style", "consts", "--no-layout-tests"])
        .args(["--allowlist-function", "junto_.*", "--allowlist-type", "junto_.*"])
        .args(["--allowlist-var", "JUNTO_.*"])
        .args(["--blocklist-type", "size_t", "--raw-line", "pub type size_t = usize;", "--output"])
        .arg(&bindings)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("bindgen, on {}: {status}", header.display()),
        Err(error) => panic!("the bindgen program is needed (Debian: bindgen): {error}"),
    }
    if let Some(directory) = directory("JUNTO_LIB_DIR", "--variable=libdir") {
        println!("cargo:rustc-link-search=native={}", directory.display());
    }
    println!("cargo:rustc-link-lib=dylib=junto");
}
