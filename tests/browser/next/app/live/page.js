import Link from "next/link";
import { BUILD } from "../build";

export const dynamic = "force-dynamic";

/** A page that the server renders for each request: no cache may keep it. */
export default function Page() {
  return (
    <main>
      <h1 id="live-server">{BUILD}</h1>
      <Link id="home" href="/" prefetch={false}>home</Link>
    </main>
  );
}
