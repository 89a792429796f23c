// One source, two builds: DEPLOYMENT names the build, and each build has a folder of its own.
const deployment = process.env.DEPLOYMENT;

export default {
  deploymentId: deployment,
  distDir: deployment,
  // Every bundle differs between the builds, as after a real change.
  env: { NEXT_PUBLIC_BUILD: deployment },
};
