// Chromium lets no page that is a file start a worker, so the worker of the search runs in a hidden frame there: its messages go
// to and fro as events. The plug-in `offline` knows this file by its name.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe");
    #isLoaded;

    constructor(address) {
      super();
      this.#frame.hidden = true;
      document.body.append(this.#frame);
      const inside = this.#frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = inside.document.createElement("script");
      this.#isLoaded = new Promise((resolve) => (script.onload = resolve));
      script.src = address;
      inside.document.head.append(script);
    }

    async postMessage(data) {
      await this.#isLoaded;
      const inside = this.#frame.contentWindow;
      inside.dispatchEvent(new inside.MessageEvent("message", { data }));
    }

    terminate() {
      this.#frame.remove();
    }
  };
}
