"""What stands on the pages: a module a section, with ``build(source) -> Section``; report/pages.py places them."""
