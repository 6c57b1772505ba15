import "./app.css";

import { mount } from "svelte";

import App from "./App.svelte";
import { language } from "./strings";

document.documentElement.lang = language;

mount(App, { target: document.getElementById("app")! });
