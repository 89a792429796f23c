import Link from "next/link";
import Panel from "./panel";

/** A static page: Next.js serves it with s-maxage. */
export default function Page() {
  return (
    <main>
      <h1 id="server">{process.env.NEXT_PUBLIC_BUILD}</h1>
      <Panel />
      <Link id="second" href="/second" prefetch={false}>second</Link>
      <Link id="live" href="/live" prefetch={false}>live</Link>
    </main>
  );
}
