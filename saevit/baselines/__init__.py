"""Other networks: what is published of them, groups of them, and building them from timm and birder.

It comes after `saevit.count`; names and published figures need no torch. `saevit.models` and
`saevit.comparing` use it.
"""
