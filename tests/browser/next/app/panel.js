"use client";

import dynamic from "next/dynamic";
import { useState } from "react";
import { order } from "./actions";

const Late = dynamic(() => import("./late"), { ssr: false });

/** What a user does on an open page: load a lazy chunk, call a server action. */
export default function Panel() {
  const [late, setLate] = useState(false);
  const [ordered, setOrdered] = useState("");
  return (
    <>
      <p id="client">{process.env.NEXT_PUBLIC_BUILD}</p>
      <button id="more" onClick={() => setLate(true)}>more</button>
      <button
        id="order"
        onClick={() => order(2).then(setOrdered, (error) => setOrdered(`failed: ${error.message}`))}
      >
        order
      </button>
      <p id="ordered">{ordered}</p>
      {late && <Late />}
    </>
  );
}
