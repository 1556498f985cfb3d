"""What the product says on the wire: kinds, names, keys, conditions and the pure rules that hold for them.

Belongs here: one module per own kind (types, defaults, validation), the registry of labels, annotations,
finalizers and fixed names, naming and translation rules, label selectors, claims, conditions, conversions
between exports and CRDs, and small codecs that the wire needs.

Does not belong here: input or output, clocks, asyncio, anything that knows of a client, a store or a
controller. Every function is pure; time is an argument.
"""
