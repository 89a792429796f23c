// VERSION
addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open("VERSION").then((cache) => cache.add("/assets/precache.BUILD.js")));
});
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  // Fetched from here, a frame would carry the very headers of a page: `navigate` and `empty`.
  if (event.request.destination !== "iframe") event.respondWith(fetch(event.request));
});
