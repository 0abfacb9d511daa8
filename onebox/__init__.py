"""THE EMBEDDED DEFAULT: real Kubernetes, Temporal and a small model on one machine.

What belongs here: getting, starting, watching and stopping the programs that a first run, the
end-to-end tests and CI need. What does not: any knowledge of how a Workspace becomes ready. This
room knows `api` only, and nothing else imports it.
"""
