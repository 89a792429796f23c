import Link from "next/link";
import Panel from "../panel";

export default function Page() {
  return (
    <main>
      <h1 id="server">{process.env.NEXT_PUBLIC_BUILD}</h1>
      <Panel />
      <Link id="home" href="/" prefetch={false}>home</Link>
    </main>
  );
}
