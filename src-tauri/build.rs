//! Compiles the window's capabilities and one permission per command into the app. A command without a permission
//! file in `src-tauri/permissions` is denied.

use std::{fs, io};

fn main() -> io::Result<()> {
    // The page may not be built yet: an empty folder is enough to compile and to test the Rust side.
    fs::create_dir_all("ui/dist")?;
    println!("cargo:rerun-if-changed=src-tauri/capabilities");
    println!("cargo:rerun-if-changed=src-tauri/permissions");
    println!("cargo:rerun-if-changed=ui/dist");
    let manifest = tauri_build::AppManifest::new().permissions_path_pattern("./src-tauri/permissions/*.toml");
    let attributes = tauri_build::Attributes::new()
        .app_manifest(manifest)
        .capabilities_path_pattern("./src-tauri/capabilities/*.json");
    tauri_build::try_build(attributes).map_err(io::Error::other)
}
