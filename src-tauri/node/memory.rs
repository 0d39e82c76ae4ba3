//! The allocator of every process that runs a node. Segments come and go by the ten megabytes: glibc keeps what is freed
//! for itself (an owner grew from 290 to 400 MB over three puts of 1 GiB, and stayed at 240 MB), jemalloc hands it back
//! within half a second (230 MB, and 66 MB afterwards). Its settings are compiled in: see `.cargo/config.toml`.
//!
//! Deliberately absent: Microsoft's toolchain, where jemalloc does not build; and fuzzing, whose sanitizer watches the
//! allocator.

#[cfg(not(any(target_env = "msvc", fuzzing)))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
