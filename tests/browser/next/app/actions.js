"use server";

/** The build whose server runs the action. */
export async function order(count) {
  return `${process.env.NEXT_PUBLIC_BUILD} took ${count}`;
}
