import { mount } from "svelte";
import App from "./App.svelte";
import { i18n } from "./lib/i18n.svelte";
import { applyTheme, prefs } from "./lib/prefs.svelte";

applyTheme();
await i18n.use(prefs.lang);
mount(App, { target: document.getElementById("app")! });
