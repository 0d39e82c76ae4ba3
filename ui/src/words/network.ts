// Who is on the network, and where others reach this computer.

export const network = {
  title: "Network",
  peers: "Connected computers",
  farmers: "Farmers that offer space",
  lonely: {
    title: "No other computer found yet",
    sentence: "Hayloft keeps looking by itself. Check that this computer is online, and that a firewall lets Hayloft through.",
  },
  noFarmers: "No farmer was found yet. Files can be stored as soon as there are some.",
  here: "This computer",
  network: "Network",
  device: "Name on the network",
  version: "Version",
  home: "Folder",
  show: "Show",
  addresses: "Addresses",
  addressesHint: "Others reach you here. Give one to a friend whose Hayloft finds nobody.",
};
