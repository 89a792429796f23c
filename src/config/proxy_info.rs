//! What a configuration may refer to about its proxy: labels, environment variables, the plugin's
//! name.

/// What a configuration may refer to about the proxy.
pub trait ProxyInfo {
    /// The proxy's node id, such as Istio's `router~…` for a gateway and `sidecar~…`.
    fn node_id(&self) -> Option<String>;
    /// A label of this proxy's pod.
    fn node_label(&self, name: &str) -> Option<String>;
    /// A variable of the VM's environment, as its bytes.
    fn env(&self, name: &str) -> Option<Vec<u8>>;
    /// The plugin's name: the same for all workers of a proxy, different for each plugin of the
    /// proxy.
    fn plugin(&self) -> String;
}

/// A proxy of which nothing is known, for tools and tests.
#[derive(Debug, Clone, Copy)]
pub struct NoProxyInfo;

impl ProxyInfo for NoProxyInfo {
    fn node_id(&self) -> Option<String> {
        None
    }
    fn node_label(&self, _: &str) -> Option<String> {
        None
    }
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn plugin(&self) -> String {
        String::new()
    }
}
