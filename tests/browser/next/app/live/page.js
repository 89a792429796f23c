import Link from "next/link";

export const dynamic = "force-dynamic";

/** A page that the server renders for each request: no cache may keep it. */
export default function Page() {
  return (
    <main>
      <h1 id="server">{process.env.NEXT_PUBLIC_BUILD}</h1>
      <Link id="home" href="/" prefetch={false}>home</Link>
    </main>
  );
}
