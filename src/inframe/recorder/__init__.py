"""`recorder`: the process that writes the trail. It knows both the frame path's shared memory and the trail; they don't know
each other.

    main.py       the process: looks around some fifty times a second, closes a batch each second
    digests.py    of each frame's pixels and of each model's outputs, read where they lie, before they are overwritten
    watch.py      what changed: alerts, faults, modes, what people have set
    batch.py      a second's records as leaves
    room.py       whether one leaf has room for all that a device's records may say, asked before it runs
    store.py      the disk, in a thread of its own: however slow or full it is, nothing above waits for it
"""
