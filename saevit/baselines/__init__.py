"""Other networks: published figures, groups, and building them with timm, birder or a function of the caller.

It comes after `saevit.count`; names and published figures need no torch. `saevit.models` and
`saevit.comparing` use it.
"""
