#!/usr/bin/env bash
# Builds the window and drives it by clicks in its real process, on a screen and a session bus of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ -d $HOME/.cargo/bin ]] && PATH="$HOME/.cargo/bin:$PATH"

command -v tauri-driver >/dev/null || nice -n 19 cargo install tauri-driver --version ^2 --locked
npm --prefix ui run build
cargo build --bin hayloft --bin hayloft-app
built=$(realpath "${CARGO_TARGET_DIR:-target}/debug")

cd ui
HAYLOFT_BUILT="$built" dbus-run-session -- xvfb-run -a -s "-screen 0 1400x900x24" npx vitest run --config e2e/vitest.config.ts "$@"
