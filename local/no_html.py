"""Markdown for the site in which `<set>` is text and not an element of HTML, as the docstrings mean it."""

from markdown.extensions import Extension


class NoHTML(Extension):
    """Takes away from Markdown what reads HTML."""

    def extendMarkdown(self, md):
        md.preprocessors.deregister("html_block")
        md.inlinePatterns.deregister("html")


def makeExtension(**options):
    """The name by which Markdown finds the extension."""
    return NoHTML(**options)
