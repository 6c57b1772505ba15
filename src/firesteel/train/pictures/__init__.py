"""Albums made from photographs, icons and pages of a real browser (`firesteel data pictures`).

Each source is a module with one function `album(…, out)`; the file and the questions are `firesteel.tasks.albums`.
"""
