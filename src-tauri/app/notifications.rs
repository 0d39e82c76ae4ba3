//! What a person is told outside the window: the node's notices, each once, while the window is not looked at.
//!
//! The node decides what is worth a notice, and tells nothing twice. The page may show no notification by itself: only this
//! file does, so it needs no permission.

use hayloft_node::model::Event;
use tauri::AppHandle;
use tauri_plugin_notification::NotificationExt as _;

use crate::window;

/// Shows a notification if this is something for one. A desktop that shows none is no error: the page says it too.
pub(crate) fn tell(app: &AppHandle, event: &Event) {
    let Some(sentence) = sentence(event, window::is_looked_at(app)) else { return };
    let shown = app.notification().builder().title("Hayloft").body(sentence).show();
    shown.unwrap_or_else(|error| tracing::warn!(%error, "a notification was not shown"));
}

/// What to say, if anything: whoever looks at the window reads it there.
fn sentence(event: &Event, window_is_looked_at: bool) -> Option<&str> {
    match event {
        Event::Notice(sentence) if !window_is_looked_at => Some(sentence),
        Event::Notice(_) | Event::Job(_) | Event::FilesChanged | Event::StatusChanged => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_told_outside_the_window_while_nobody_looks_at_it_and_nothing_else_is() {
        let notice = Event::Notice("“film” has lost many of its pieces.".into());
        assert_eq!(sentence(&notice, false), Some("“film” has lost many of its pieces."));
        assert_eq!(sentence(&notice, true), None);
        assert_eq!(sentence(&Event::FilesChanged, false), None);
        assert_eq!(sentence(&Event::StatusChanged, false), None);
    }
}
