import "@fontsource-variable/inter/wght.css";
import "./app.css";
import { mount } from "svelte";
import App from "./App.svelte";

// A page without a window behind it, to look at in any browser: `vite --mode mock`.
if (import.meta.env.MODE === "mock") (await import("./mock")).pretend(location.hash.slice(1));

const target = document.getElementById("app");
if (target) mount(App, { target });
