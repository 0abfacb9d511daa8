"""One real Kubernetes node in namespaces of its own: containerd, kubelet and kube-proxy.

Killing its first process makes the kernel end every process of the node and drop its mounts, links
and rules: a clean end after anything, and a true node loss for tests.
"""
