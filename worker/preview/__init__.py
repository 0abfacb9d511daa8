"""`python -m worker plan`: says what a Workspace would become, and touches nothing.

    documents   files and standard input → Workspaces and ConfigMaps
    inputs      these and the command line's files → what a plan is made from
    models      names of models → presets, from the catalogue, a folder or the hub
    cluster     what is really there (only with --cluster, and read only)
    text        a preview → lines for people

The preview itself is made by `planner.preview`, so that other programs can have it as data.
"""
