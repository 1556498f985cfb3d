"""The browser flow of ``kubectl bind URL``: from the provider's address to a checked answer (spec 7.2).

``provider`` fetches and checks who the provider is, ``session`` holds the secrets of one attempt, ``answers`` says
(pure) which answer of the browser is good, ``listener`` waits for it on this machine, ``redeem`` turns a one-time code
into the credential, ``response`` checks what came, ``browser`` opens the address, and ``flow`` holds the order.
What is done with the answer is the business of ``cli.binding``.
"""
