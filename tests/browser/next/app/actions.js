"use server";

import { BUILD } from "./build";

/** The build whose server runs the action. */
export async function order(count) {
  return `${BUILD} took ${count}`;
}
