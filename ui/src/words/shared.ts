// What every screen says: the name, and buttons that are the same everywhere.

export const shared = {
  name: "Hayloft",
  cancel: "Cancel",
  back: "Back",
  next: "Continue",
  close: "Close",
  dismiss: "Dismiss",
  save: "Save",
  tryAgain: "Try again",
  quit: "Quit Hayloft",
  unexpected: (text: string) => `Something unexpected happened: ${text}`,
};
