// What a window test stands on: a network of real farmers, the real app behind WebDriver, and a person's hands.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { createInterface } from "node:readline";
import { Builder, By, Capabilities, error, type WebDriver, type WebElement } from "selenium-webdriver";

const built = process.env.HAYLOFT_BUILT ?? join(import.meta.dirname, "../../target/debug");
const screenshots = join(import.meta.dirname, "../../tests/screenshots");
// A node waits a minute for its own line before it says that nobody can be reached.
const PATIENCE_MS = 120_000;
const LISTEN_AGAIN_MS = 100;
const AT_REST = "return document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getTiming().iterations === Infinity)";
const KEEP_PAINTING = "let i = 0; window.painting = setInterval(() => { document.body.style.opacity = i++ % 2 ? '' : '0.999'; }, 30)";

export const work = mkdtempSync(join(tmpdir(), "hayloft-window-"));
const dialog = join(work, "dialog");
const ends: (() => unknown)[] = [];

/** Ends everything that was started, the last first. */
export async function strike() {
  for (const end of ends.reverse()) await end();
  rmSync(work, { recursive: true, force: true });
}

async function stop(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM") {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

type Prices = { price: number; epoch: number };
export type Network = { network: string; bootstrap: string; farmers: { pid: number; id: string; home: string }[]; auditor: { home: string }; ledger?: string; epoch?: number };

/**
 * A network of farmers; it ends when our end of its pipe closes. With prices, in XLM for a TB-month and with epochs of so many
 * seconds, it has a ledger.
 */
export async function devnet(farmers: number, prices?: Prices): Promise<Network> {
  const priced = prices ? ["--price", String(prices.price), "--epoch", String(prices.epoch)] : [];
  const child = spawn(join(built, "hayloft"), ["devnet", "--farmers", String(farmers), ...priced, "--no-owner", "--json", "--until-stdin-closes", "--home", join(work, "net")], { stdio: ["pipe", "pipe", "inherit"] });
  ends.push(async () => {
    const gone = once(child, "exit");
    child.stdin.end();
    await gone;
  });
  for await (const line of createInterface({ input: child.stdout })) return { ...(JSON.parse(line) as Network), epoch: prices?.epoch };
  throw new Error("the devnet did not start");
}

/** What a command prints about the running node of a home. */
export function told<T>(home: string, ...command: string[]): T {
  return JSON.parse(execFileSync(join(built, "hayloft"), [...command, "--home", home, "--json"], { encoding: "utf8" })) as T;
}

/** What a window on a network with prices is told: as a node of a devnet is. */
function pays({ ledger, auditor, epoch }: Network): NodeJS.ProcessEnv {
  if (ledger === undefined) return {};
  const [address] = told<{ addresses: string[] }>(auditor.home, "status").addresses;
  return { HAYLOFT_LEDGER: ledger, HAYLOFT_AUDITOR: address, HAYLOFT_EPOCH: String(epoch) };
}

/** A node without a window on `home`; the answer is called to see it end. */
export async function headless(home: string, network: Network): Promise<ChildProcess> {
  const child = spawn(join(built, "hayloft"), ["node", "--home", home, "--network", network.network, "--bootstrap", network.bootstrap, "--json"], { stdio: ["ignore", "pipe", "inherit"] });
  ends.push(() => stop(child));
  await once(child.stdout, "data");
  return child;
}

export type Look = "light" | "dark";

/** The app in its own process on `home`, driven through WebDriver. */
export async function openWindow(home: string, network: Network, look: Look = "light"): Promise<Person> {
  const [port, native] = [await freePort(), await freePort()];
  const env = {
    ...process.env,
    HAYLOFT_HOME: home,
    HAYLOFT_NETWORK: network.network,
    HAYLOFT_BOOTSTRAP: network.bootstrap,
    HAYLOFT_LISTEN: "/ip4/127.0.0.1/udp/0/quic-v1,/ip4/127.0.0.1/tcp/0",
    HAYLOFT_NO_MDNS: "true",
    ...pays(network),
    HAYLOFT_TEST_DIALOG: dialog,
    WEBKIT_DISABLE_DMABUF_RENDERER: "1",
    GTK_THEME: look === "dark" ? "Adwaita:dark" : "Adwaita",
    LC_ALL: "C.UTF-8",
  };
  const driver = spawn("tauri-driver", ["--port", String(port), "--native-port", String(native)], { env, stdio: ["ignore", "inherit", "inherit"] });
  await answers(port);
  const capabilities = new Capabilities({ browserName: "wry", "tauri:options": { application: join(built, "hayloft-app") } });
  const web = await new Builder().usingServer(`http://127.0.0.1:${port}/`).withCapabilities(capabilities).build();
  let open = true;
  const close = async () => {
    if (!open) return;
    open = false;
    await web.quit();
    await stop(driver);
  };
  ends.push(close);
  return new Person(web, close);
}

/** Waits until something listens on a port. */
async function answers(port: number) {
  const patience = Date.now() + PATIENCE_MS;
  while (Date.now() < patience) {
    const heard = await fetch(`http://127.0.0.1:${port}/status`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (heard) return;
    await setTimeout(LISTEN_AGAIN_MS);
  }
  throw new Error("tauri-driver did not start");
}

/** Somebody at the window: finds things by what they say, clicks and types. */
export class Person {
  constructor(
    readonly web: WebDriver,
    readonly close: () => Promise<void>,
  ) {}

  find(css: string): Promise<WebElement> {
    return this.#located(By.css(css), `nothing matches ${css}`);
  }

  /** The first that is there; what vanishes while it is looked at counts as not there. */
  #located(by: By, otherwise: string): Promise<WebElement> {
    const first = () =>
      this.web.findElements(by).then(
        (found) => found[0] ?? false,
        (problem) => {
          if (problem instanceof error.StaleElementReferenceError) return false;
          throw problem;
        },
      );
    return this.web.wait(first, PATIENCE_MS, otherwise) as Promise<WebElement>;
  }

  /** The innermost element that says exactly or begins with `text`. */
  see(text: string): Promise<WebElement> {
    const quoted = text.includes('"') ? `concat(${text.split('"').map((part) => `"${part}"`).join(", '\"', ")})` : `"${text}"`;
    const path = `//*[not(self::script) and text()[starts-with(normalize-space(.), ${quoted})]]`;
    return this.#located(By.xpath(path), `nobody said “${text}”`);
  }

  async click(text: string) {
    await (await this.see(text)).click();
  }

  /** Clicks what matches, also if the list around it moves just then. */
  async clickOn(css: string) {
    const clicked = async () => {
      const found = await this.find(css);
      return found.click().then(
        () => true,
        (problem) => {
          if (problem instanceof error.StaleElementReferenceError || problem instanceof error.ElementClickInterceptedError) return false;
          throw problem;
        },
      );
    };
    await this.web.wait(clicked, PATIENCE_MS, `${css} cannot be clicked`);
  }

  async press(css: string, ...keys: string[]) {
    await (await this.find(css)).sendKeys(...keys);
  }

  async gone(css: string) {
    await this.web.wait(() => this.web.executeScript(`return document.querySelector(${JSON.stringify(css)}) === null`), PATIENCE_MS, `${css} is still there`);
  }

  async texts(css: string): Promise<string[]> {
    return this.web.executeScript(`return [...document.querySelectorAll(${JSON.stringify(css)})].map((found) => found.textContent)`);
  }

  /** A picture of the window for people to look at. */
  async show(name: string, width: number, height: number) {
    await this.web.manage().window().setRect({ x: 0, y: 0, width, height });
    await this.web.wait(async () => Number(await this.web.executeScript("return innerWidth")) === width, 5_000, `the window is not ${width} wide`).catch(() => undefined);
    await this.web.wait(() => this.web.executeScript(AT_REST), PATIENCE_MS, "the page never came to rest");
    mkdirSync(screenshots, { recursive: true });
    // WebKitGTK hands out the next frame that is painted: a page at rest would keep us waiting for ever.
    await this.web.executeScript(KEEP_PAINTING);
    writeFileSync(join(screenshots, `${name}-${width}x${height}.png`), await this.web.takeScreenshot(), "base64");
    await this.web.executeScript("clearInterval(window.painting); document.body.style.opacity = ''");
  }
}

/** What the system's file dialog will answer from now on. */
export function choose(...paths: string[]) {
  writeFileSync(dialog, paths.join("\n"));
}
