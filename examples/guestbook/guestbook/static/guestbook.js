// Small comforts. Without this file everything works all the same.
"use strict";

// Times in the reader's own zone and language.
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.textContent;
  time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
}

// A photo that is too large is refused before it is sent.
const photo = document.getElementById("photo");
photo.addEventListener("change", () => {
  const limit = Number(photo.dataset.maxSize);
  const tooLarge = photo.files.length > 0 && photo.files[0].size > limit;
  photo.setCustomValidity(tooLarge ? `This picture is larger than ${limit / 1048576} MiB.` : "");
  photo.reportValidity();
});

// One click sends one entry.
photo.form.addEventListener("submit", () => {
  photo.form.querySelector("button").disabled = true;
});
window.addEventListener("pageshow", () => {
  photo.form.querySelector("button").disabled = false;
});
