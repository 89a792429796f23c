export const BUILD = process.env.NEXT_PUBLIC_BUILD;
