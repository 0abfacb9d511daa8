"""The only importers of SDKs: one module a service that we talk to."""
