"""Components by name: ours, ESPnet's, and those of other installed packages. Only what is chosen is imported.

A package offers an encoder by an entry point of the group `espnet_llmasr.encoders`, a frontend by one of the group
`espnet_llmasr.frontends`; egs2/TEMPLATE/llmasr1/local/my_encoder is an example.
"""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Dict, Tuple


class Registry:
    """The names of one kind of component.

    Args:
        kind: encoder or frontend.
        own: name -> class, of this package and of ESPnet.
    """

    def __init__(self, kind: str, own: Dict[str, str]):
        self.kind, self.own, self.group = kind, own, f"espnet_llmasr.{kind}s"

    def plugins(self) -> Dict[str, EntryPoint]:
        """The entry points of installed packages by name; names are lower case, as ESPnet's options are."""
        return {entry.name.lower(): entry for entry in entry_points(group=self.group)}

    def names(self) -> Tuple[str, ...]:
        """All names that can be chosen."""
        return tuple({**self.own, **self.plugins()})

    def load(self, name: str) -> type:
        """The class of a name.

        Raises:
            ValueError: there is none of this name, two have it, or the package that offers it cannot be imported.
        """
        plugin = self.plugins().get(name)
        if plugin is None and name not in self.own:
            raise ValueError(
                f"there is no {self.kind} '{name}', allowed are {', '.join(self.names())}; one of another package must "
                f"be installed here and have an entry point in {self.group}"
            )
        if plugin is None:
            module, _, class_name = self.own[name].rpartition(".")
            return getattr(import_module(module), class_name)
        source = f"the {self.kind} '{name}' of {plugin.dist.name if plugin.dist else plugin.value}"
        if name in self.own:
            raise ValueError(f"{source} has the name of one of ours: rename it in the entry points of its package")
        try:
            chosen = plugin.load()
        except Exception as error:  # the code of another package may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"{source} cannot be loaded ({reason}): repair or uninstall that package") from error
        if not isinstance(chosen, type):
            raise ValueError(f"{source} is no class but {plugin.value}: correct the entry point of its package")
        return chosen
