importScripts("/assets/worker-part.BUILD.js");
fetch("/api/of-worker")
  .then((response) => response.json())
  .then((said) => postMessage(said.version));
