import Link from "next/link";
import { BUILD } from "../build";
import Panel from "../panel";

export default function Page() {
  return (
    <main>
      <h1 id="second-server">{BUILD}</h1>
      <Panel />
      <Link id="home" href="/" prefetch={false}>home</Link>
    </main>
  );
}
