"use client";

export default function Late() {
  return <p id="late">{process.env.NEXT_PUBLIC_BUILD}</p>;
}
