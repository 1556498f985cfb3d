"""The machinery under every controller: what is known, what is to be done, and who may do it.

```
server -> reflector -> informer -> store          what is known
                          |
                       handlers -> queue -> controller -> reconcile(key)      what is to be done
manager, leader, health, recorder, status         the life of a program around them
```

Belongs here: anything that a controller of whatever kind needs. `reconcile` says what a reconciler returns
and what its errors mean; read it first.

Does not belong here: a kind, label or rule of the product (`bind_agent.api`, the applications), requests
and their retries within one call (`bind_agent.kube`), anything useful without Kubernetes
(`bind_agent.aio`).
"""
