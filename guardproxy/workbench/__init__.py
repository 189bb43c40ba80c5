"""What a person does with a model before a policy names it: `guardproxy model evaluate | calibrate | export`.

    texts.py      labelled files, traffic and audit logs -> rows
    judging.py    a text through the check, as the proxy would do it -> scores
    plots.py      figures -> pictures
    folders.py    a model folder -> a copy with other settings
    calibrate.py  verdicts -> thresholds, bias and temperature, and a configuration with them
    checkpoint.py a checkpoint of transformers -> a network with the inputs and outputs of a model folder
    export.py     a checkpoint -> a model folder, its parity proven

torch and transformers are imported by the last two alone, when they run.
"""
