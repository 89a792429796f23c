"use client";

import { BUILD } from "./build";

export default function Late() {
  return <p id="late">{BUILD}</p>;
}
